// Audio in the browser: the microphone at 16 kHz, wav files, peaks of a waveform.
import { pcm } from "./api.js";

export const RATE = 16000;
const LOBES = 12; // of the sinc on either side
const AS_IT_IS = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** Resamples a stream by a Hann-windowed sinc; what it gives does not depend on how the stream is cut. */
export class Resampler {
  constructor(from, to) {
    const gcd = (a, b) => (b ? gcd(b, a % b) : a);
    const common = gcd(from, to);
    this.step = from / common; // output n lies at input n * step / phases
    this.phases = to / common;
    this.cutoff = 0.95 * Math.min(1, to / from);
    this.half = Math.ceil(LOBES / this.cutoff);
    this.taps = [];
    this.held = new Float32Array(this.half); // silence before the beginning
    this.next = this.half * this.phases; // position of the next output in `held`, in units of 1 / phases
  }

  filter(phase) {
    return (this.taps[phase] ??= Float32Array.from({ length: 2 * this.half }, (_, i) => {
      const x = i - this.half + 1 - phase / this.phases;
      const window = Math.abs(x) < this.half ? 0.5 + 0.5 * Math.cos((Math.PI * x) / this.half) : 0;
      const angle = Math.PI * this.cutoff * x;
      return this.cutoff * window * (angle ? Math.sin(angle) / angle : 1);
    }));
  }

  push(samples) {
    const held = new Float32Array(this.held.length + samples.length);
    held.set(this.held);
    held.set(samples, this.held.length);
    const out = [];
    for (; Math.floor(this.next / this.phases) + this.half < held.length; this.next += this.step) {
      const first = Math.floor(this.next / this.phases) - this.half + 1;
      const taps = this.filter(this.next % this.phases);
      let sum = 0;
      for (let i = 0; i < taps.length; i++) sum += taps[i] * held[first + i];
      out.push(sum);
    }
    const done = Math.max(0, Math.floor(this.next / this.phases) - this.half + 1);
    this.held = held.slice(done);
    this.next -= done * this.phases;
    return Float32Array.from(out);
  }
}

/** The microphone, one channel at 16 kHz. */
export class Recorder {
  static async start(onSamples) {
    if (!navigator.mediaDevices) throw new Error("Browsers record on secure pages only: use https, or this machine's own address.");
    let media;
    try {
      media = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    } catch (error) {
      throw new Error(error.name === "NotFoundError" ? "There is no microphone." : "The browser does not allow the microphone.");
    }
    const context = new AudioContext();
    await context.audioWorklet.addModule(new URL("./worklet.js", import.meta.url));
    const node = new AudioWorkletNode(context, "recorder", { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    const recorder = new Recorder(media, context, node, onSamples);
    context.createMediaStreamSource(media).connect(node);
    return recorder;
  }

  constructor(media, context, node, onSamples) {
    Object.assign(this, { media, context, parts: [] });
    const resampler = new Resampler(context.sampleRate, RATE);
    node.port.onmessage = ({ data }) => {
      const samples = resampler.push(data);
      this.parts.push(samples);
      onSamples(samples);
    };
  }

  /** All that was recorded. */
  async stop() {
    for (const track of this.media.getTracks()) track.stop();
    await this.context.close();
    const samples = new Float32Array(this.parts.reduce((sum, part) => sum + part.length, 0));
    let at = 0;
    for (const part of this.parts) {
      samples.set(part, at);
      at += part.length;
    }
    return samples;
  }
}

/** A 16-bit wav file of samples at 16 kHz. */
export function wav(samples) {
  const data = pcm(samples);
  const header = new DataView(new ArrayBuffer(44));
  const text = (at, word) => [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  header.setUint32(4, 36 + data.byteLength, true);
  text(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true); // PCM
  header.setUint16(22, 1, true); // channels
  header.setUint32(24, RATE, true);
  header.setUint32(28, 2 * RATE, true); // bytes per second
  header.setUint16(32, 2, true); // bytes per sample
  header.setUint16(34, 16, true); // bits per sample
  text(36, "data");
  header.setUint32(40, data.byteLength, true);
  return new Blob([header, data], { type: "audio/wav" });
}

/** The largest amplitude of each of `count` equal parts of a file, the loudest 1; null where the browser cannot read it. */
export async function peaks(blob, count) {
  let samples;
  try {
    const buffer = await new OfflineAudioContext(1, 1, 8000).decodeAudioData(await blob.arrayBuffer());
    samples = buffer.getChannelData(0);
  } catch {
    return null;
  }
  const found = new Float32Array(count);
  samples.forEach((x, i) => {
    const at = Math.floor((i / samples.length) * count);
    found[at] = Math.max(found[at], Math.abs(x));
  });
  const loudest = Math.max(...found) || 1;
  return found.map((x) => x / loudest);
}
