"""Headless Chromium, told what to do over its debugging pipe, and what a page is asked there."""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
from pathlib import Path
from typing import Any


class Browser:
    """Chromium, spoken to in the DevTools protocol over a pipe, so that it may run in another network."""

    def __init__(self, profile: Path, enter: list[str]) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        options = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --hide-scrollbars"
        options += " --disable-background-networking --disable-component-update --disable-sync"
        command = [
            *enter,
            "chromium",
            *options.split(),
            f"--user-data-dir={profile}",
            "--remote-debugging-pipe",
        ]

        def take_pipes() -> None:  # the protocol speaks on descriptors 3 (to it) and 4 (from it)
            os.dup2(their_in, 103)
            os.dup2(their_out, 104)
            os.dup2(103, 3)
            os.dup2(104, 4)

        self._process = subprocess.Popen(
            command,
            preexec_fn=take_pipes,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(their_in)
        os.close(their_out)
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session: str | None = None
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": parameters}
        if getattr(self, "_session", None):
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._receive(30)
            if answer.get("id") == self._last:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self, seconds: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], seconds)
            assert ready, "Chromium does not answer"
            got = os.read(self._in, 1 << 20)
            assert got, "Chromium ended"
            self._buffer += got
        message, _, self._buffer = self._buffer.partition(b"\0")
        decoded: dict[str, Any] = json.loads(message)
        return decoded

    def open(self, url: str, width: int, height: int = 1080) -> None:
        self.events.clear()
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._receive(30))

    def ask(self, script: str) -> Any:
        """The value of an expression of JavaScript in the page; of a promise, what it comes to."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def tab(self) -> None:
        """Presses the tabulator key."""
        for kind in ("rawKeyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)

    def enter(self) -> None:
        """Presses the enter key."""
        for kind in ("rawKeyDown", "char", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key="Enter",
                code="Enter",
                windowsVirtualKeyCode=13,
                **({"text": "\r"} if kind == "char" else {}),
            )

    def picture(self, file: Path) -> dict[str, Any]:
        """Writes what is on the screen as PNG; answers how many boxes its pixels show, and which of them are blank."""
        encoded = self.call("Page.captureScreenshot", format="png")["data"]
        file.write_bytes(base64.b64decode(encoded))
        found: dict[str, Any] = self.ask(f'({_PAINTED})("data:image/png;base64,{encoded}")')
        return found

    def requests(self) -> list[str]:
        return [
            event["params"]["request"]["url"]
            for event in self.events
            if event.get("method") == "Network.requestWillBeSent"
        ]

    def failures(self) -> list[dict[str, Any]]:
        """What did not load, and what the page complained of."""
        return [
            event
            for event in self.events
            if event.get("method") in ("Network.loadingFailed", "Log.entryAdded", "Runtime.exceptionThrown")
            or (
                event.get("method") == "Network.responseReceived"
                and event["params"]["response"]["status"] >= 400
            )
        ]

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        os.close(self._in)
        os.close(self._out)


#: How contrast is reckoned (WCAG 2.1): channels are linear in light, and 4.5:1 is wanted, of large text 3:1.
_WCAG = """
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = (one, other) => { const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05); };
  const wanted = (size, weight) => size >= 24 || (size >= 18.66 && weight >= 700) ? 3 : 4.5;
"""
#: Texts whose contrast with what is behind them is too low; those of drawings are in :data:`DRAWN_CONTRAST`.
CONTRAST = (
    "(() => {"
    + _WCAG
    + """
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = []; let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg")) continue;
    const style = getComputedStyle(e), found = ratio(parse(style.color), behind(e));
    seen++;
    if (found < wanted(parseFloat(style.fontSize), style.fontWeight))
      low.push([walker.currentNode.textContent.trim(), found]);
  }
  return {seen, low};
})()
"""
)
#: The same of texts in drawings, at their beginning, middle and end: behind them is the shape that was drawn there last
#: before the text, or else what the drawing stands on. What is see-through is not reckoned, but named.
DRAWN_CONTRAST = (
    "(() => {"
    + _WCAG
    + """
  const filled = (shape, x, y) => { const at = new DOMPoint(x, y).matrixTransform(shape.getScreenCTM().inverse());
    return shape.isPointInFill(at); };
  const low = [], unclear = []; let seen = 0;
  for (const svg of document.querySelectorAll("svg")) {
    const grounds = [];
    for (const e of svg.querySelectorAll("rect, circle, ellipse, path, polygon, text")) {
      const style = getComputedStyle(e);
      if (!e.checkVisibility() || e.closest("defs, clipPath, mask")) continue;
      if (style.opacity < 1 || style.fillOpacity < 1) unclear.push(e.textContent || e.tagName);
      if (e.tagName !== "text") { if (style.fill !== "none") grounds.push([e, parse(style.fill)]); continue; }
      if (!e.textContent.trim()) continue;
      const box = e.getBoundingClientRect(), y = box.top + box.height / 2;
      const size = parseFloat(style.fontSize) * e.getScreenCTM().a;
      for (const x of [box.left + 1, box.left + box.width / 2, box.right - 1]) {
        const under = grounds.findLast(([shape]) => filled(shape, x, y));
        const found = ratio(parse(style.fill), under ? under[1] : [255, 255, 255]);
        seen++;
        if (found < wanted(size, style.fontWeight)) low.push([e.textContent.trim(), found]);
      }
    }
  }
  return {seen, low, unclear};
})()
"""
)
#: Given a picture of the screen: of each box on it whether its pixels show ink, light on dark or dark on light (3:1).
_PAINTED = (
    "async source => {"
    + _WCAG
    + """
  const image = new Image(); image.src = source; await image.decode();
  const canvas = document.createElement("canvas"); canvas.width = image.width; canvas.height = image.height;
  const pen = canvas.getContext("2d", {willReadFrequently: true}); pen.drawImage(image, 0, 0);
  const blank = []; let seen = 0;
  for (const e of document.querySelectorAll(".top, .card, .tile, .verdict")) {
    const box = e.getBoundingClientRect(), inset = 12;
    const left = Math.max(0, box.left + inset), top = Math.max(0, box.top + inset);
    const width = Math.min(image.width, box.right - inset) - left;
    const height = Math.min(image.height, box.bottom - inset) - top;
    if (!e.checkVisibility() || width < 20 || height < 20) continue;
    const pixels = pen.getImageData(left, top, width, height).data;
    let dark = [255, 255, 255], pale = [0, 0, 0];
    for (let at = 0; at < pixels.length; at += 4) {
      const one = [pixels[at], pixels[at + 1], pixels[at + 2]], sum = one[0] + one[1] + one[2];
      if (sum < dark[0] + dark[1] + dark[2]) dark = one;
      if (sum > pale[0] + pale[1] + pale[2]) pale = one;
    }
    seen++;
    if (ratio(dark, pale) < 3) blank.push(e.id || e.className);
  }
  return {seen, blank, width: image.width, height: image.height};
}
"""
)
#: What is wider than its place: the page, or a card's content.
OVERFLOW = """
[...document.querySelectorAll("html, .card, .tile, .verdict")]
  .filter(e => e.scrollWidth > e.clientWidth + 1)
  .map(e => [e.id || e.className || e.tagName, e.scrollWidth, e.clientWidth])
"""
#: What has the focus: its words, where it is on the page, and whether one sees that it has it.
FOCUSED = """
(() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {text: (e.getAttribute("aria-label") || e.textContent).trim(), tag: e.tagName, left: box.left,
    right: box.right, outline: style.outlineStyle, width: parseFloat(style.outlineWidth)};
})()
"""
