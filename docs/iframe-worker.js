// Browsers start no worker from disk. Where the site is opened from there, this runs the search's worker in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      const load = (address) => new Promise((done, failed) => {
        const script = inside.document.createElement("script");
        Object.assign(script, { src: address, onload: done, onerror: failed });
        inside.document.head.append(script);
      });
      const say = (target, data) => target.dispatchEvent(new MessageEvent("message", { data }));
      inside.postMessage = (data) => say(this, data);
      inside.importScripts = (...addresses) =>
        addresses.reduce((before, address) => before.then(() => load(address)), Promise.resolve());
      this.addEventListener("message", (event) => this.onmessage && this.onmessage(event));
      this.loaded = load(url);
      this.postMessage = (data) => this.loaded.then(() => say(inside, data));
      this.terminate = () => frame.remove();
    }
  };
}
