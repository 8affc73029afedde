// From one sampling rate to another.

const LOBES = 12; // of the sinc on either side

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
