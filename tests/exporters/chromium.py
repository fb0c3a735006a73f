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
        """The value of an expression of JavaScript in the page."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
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

    def picture(self, file: Path) -> None:
        """Writes what is on the screen as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

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


#: Texts whose contrast with what is behind them is below WCAG 2.1's 4.5:1 (3:1 for large ones).
#: Those of the map stand on shapes, not on elements: test_status_pages.py computes theirs.
CONTRAST = """
(() => {
  const channel = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const parse = s => s.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const behind = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const low = []; let seen = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !e.checkVisibility() || e.closest("svg")) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize);
    const [a, b] = [light(parse(style.color)), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05), large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    seen++;
    if (ratio < (large ? 3 : 4.5)) low.push([walker.currentNode.textContent.trim(), ratio]);
  }
  return {seen, low};
})()
"""
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
