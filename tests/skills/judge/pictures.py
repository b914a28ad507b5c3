"""Compares screenshots. The browser that took them decodes them, so no library for pictures is needed."""

CODE = """
(() => {
  const pixels = async (data) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: 'image/png' }));
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(image, 0, 0);
    return { width: image.width, data: context.getImageData(0, 0, image.width, image.height).data };
  };
  window.commonest = async (data) => {
    const { data: found } = await pixels(data);
    const colours = new Uint32Array(found.buffer);
    const counts = new Map();
    let most = 0;
    for (const colour of colours) {
      const count = (counts.get(colour) ?? 0) + 1;
      counts.set(colour, count);
      if (count > most) most = count;
    }
    return most / colours.length;
  };
  window.difference = async (one, two) => {
    const [a, b] = [await pixels(one), await pixels(two)];
    if (a.width !== b.width || a.data.length !== b.data.length) return 1;
    let changed = 0;
    for (let i = 0; i < a.data.length; i += 4) {
      const apart = Math.max(
        Math.abs(a.data[i] - b.data[i]),
        Math.abs(a.data[i + 1] - b.data[i + 1]),
        Math.abs(a.data[i + 2] - b.data[i + 2]),
      );
      if (apart > 8) changed++;
    }
    return changed / (a.data.length / 4);
  };
})()
"""


class Pictures:
    """A blank page that compares screenshots. Use it with `with`."""

    def __init__(self, browser):
        self._browser = browser

    def __enter__(self):
        browser = self._browser
        self._target = browser.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        attach = {"targetId": self._target, "flatten": True}
        self._session = browser.call("Target.attachToTarget", attach)["sessionId"]
        self._evaluate(CODE)
        return self

    def __exit__(self, *_):
        self._browser.call("Target.closeTarget", {"targetId": self._target})

    def _evaluate(self, code):
        wanted = {"expression": code, "awaitPromise": True, "returnByValue": True}
        answer = self._browser.call("Runtime.evaluate", wanted, self._session)
        return answer["result"].get("value")

    def commonest(self, screenshot):
        """The share of pixels that have the commonest colour: 1 for a blank picture."""
        return self._evaluate(f"commonest('{screenshot}')")

    def difference(self, one, two):
        """The share of pixels in which two pictures differ visibly."""
        if one == two:
            return 0.0
        return self._evaluate(f"difference('{one}','{two}')")
