// The microphone.
import { Resampler } from "./resample.js";
import { say } from "./say.js";
import { RATE } from "./wav.js";

const AS_IT_IS = { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false };

/** The microphone, one channel at 16 kHz. */
export class Recorder {
  static async start(onSamples) {
    if (!navigator.mediaDevices) throw new Error(say("insecure"));
    let media;
    try {
      media = await navigator.mediaDevices.getUserMedia({ audio: AS_IT_IS });
    } catch (error) {
      throw new Error(say(error.name === "NotFoundError" ? "no_microphone" : "forbidden_microphone"));
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
