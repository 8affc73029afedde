// Runs on the browser's audio thread: hands the microphone's samples on, some at a time.
const SIZE = 2048;

class Recorder extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Float32Array(SIZE);
    this.count = 0;
  }

  process([[channel]]) {
    if (channel) {
      this.samples.set(channel, this.count);
      this.count += channel.length;
      if (this.count === SIZE) {
        this.port.postMessage(this.samples.slice());
        this.count = 0;
      }
    }
    return true;
  }
}

registerProcessor("recorder", Recorder);
