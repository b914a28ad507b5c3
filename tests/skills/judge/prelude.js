// Runs in a game's page before its own code. It replaces chance and every clock by ones that the judge moves, so that
// two runs with the same input paint the same pictures.
(() => {
  'use strict';
  const real = {
    requestAnimationFrame: window.requestAnimationFrame.bind(window),
    Date: window.Date,
  };
  const START_MS = 1_800_000_000_000;
  let now = 0;
  let number = 0;
  let frames = new Map();
  const timers = new Map();
  let hidden = false;

  let seed = 0x2545f491;
  Math.random = () => {
    // mulberry32
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  performance.now = () => now;
  const SteppedDate = function (...given) {
    const date = given.length ? new real.Date(...given) : new real.Date(START_MS + now);
    return new.target ? date : date.toString();
  };
  SteppedDate.prototype = real.Date.prototype;
  SteppedDate.now = () => START_MS + Math.floor(now);
  SteppedDate.UTC = real.Date.UTC;
  SteppedDate.parse = real.Date.parse;
  window.Date = SteppedDate;

  window.requestAnimationFrame = (callback) => {
    frames.set(++number, callback);
    return number;
  };
  window.cancelAnimationFrame = (id) => frames.delete(id);
  const later = (every) => (callback, delay, ...given) => {
    const wait = Math.max(Number(delay) || 0, every ? 4 : 0);
    timers.set(++number, { callback, given, at: now + wait, wait, every });
    return number;
  };
  window.setTimeout = later(false);
  window.setInterval = later(true);
  window.clearTimeout = window.clearInterval = (id) => timers.delete(id);
  window.requestIdleCallback = (callback) =>
    window.setTimeout(() => callback({ didTimeout: false, timeRemaining: () => 10 }), 1);
  window.cancelIdleCallback = window.clearTimeout;

  Object.defineProperty(document, 'hidden', { get: () => hidden });
  Object.defineProperty(document, 'visibilityState', { get: () => (hidden ? 'hidden' : 'visible') });

  // A software renderer spends nearly all of its time on WebGL pictures that nobody looks at, so only those are drawn of
  // which a screenshot is taken. Everything else of a frame happens: shaders are compiled, buffers are filled.
  let drawing = false;
  const DRAWS = /^(draw|clear$|clearBuffer|blitFramebuffer)/;
  for (const context of [window.WebGLRenderingContext, window.WebGL2RenderingContext]) {
    for (const name of context ? Object.getOwnPropertyNames(context.prototype) : []) {
      if (!DRAWS.test(name) || name.startsWith('drawingBuffer')) continue;
      const draw = context.prototype[name];
      context.prototype[name] = function (...given) {
        if (drawing) draw.apply(this, given);
      };
    }
  }

  // An error in one callback must not keep the others from running, and must be reported as the browser reports it.
  const run = (callback, given) => {
    try {
      if (typeof callback === 'function') callback(...given);
      else (0, eval)(String(callback));
    } catch (error) {
      reportError(error);
    }
  };
  const runTimers = (until) => {
    // A bound, because a timer may start another one for the same moment.
    for (let turn = 0; turn < 1000; turn++) {
      let due = null;
      for (const [id, timer] of timers) {
        if (timer.at <= until && (!due || timer.at < due[1].at)) due = [id, timer];
      }
      if (!due) break;
      const [id, timer] = due;
      now = Math.max(now, timer.at);
      if (timer.every) timer.at = now + timer.wait;
      else timers.delete(id);
      run(timer.callback, timer.given);
    }
    now = until;
  };
  // A message and not a timer: browsers delay timers that start each other.
  const channel = new MessageChannel();
  const turns = [];
  channel.port1.onmessage = () => turns.shift()();
  const turn = () =>
    new Promise((done) => {
      turns.push(done);
      channel.port2.postMessage(0);
    });

  window.__judge = {
    // Moves the clock by some frames and paints them, unless the page is hidden: then only timers run.
    async step(count, millis) {
      for (let i = 0; i < count; i++) {
        runTimers(now + millis);
        if (!hidden) {
          const due = frames;
          frames = new Map();
          for (const callback of due.values()) run(callback, [now]);
        }
        await turn();
      }
      return now;
    },
    setDrawing(value) {
      drawing = value;
    },
    // Waits until the browser has really painted what the canvas holds.
    painted: () =>
      new Promise((done) => real.requestAnimationFrame(() => real.requestAnimationFrame(() => done(true)))),
    setHidden(value) {
      hidden = value;
      document.dispatchEvent(new Event('visibilitychange', { bubbles: true }));
      window.dispatchEvent(new Event(value ? 'blur' : 'focus'));
    },
  };
})();
