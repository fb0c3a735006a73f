"""What does a daemon of monitoring say? Asked by the controller, as a person with the login would."""

from __future__ import annotations

import base64
import ssl
import urllib.request

from deploy.login.keys import Login


def ask(url: str, login: Login, timeout: float = 10) -> bytes:
    """The body of an answer.

    Raises:
        OSError: nothing answers, it cannot show a certificate of the city's authority, or it refuses the login.
    """
    word = f"{login.user}:{login.password_file.read_text(encoding='ascii').strip()}"
    header = {"Authorization": "Basic " + base64.b64encode(word.encode()).decode("ascii")}
    trusted = ssl.create_default_context(cafile=str(login.ca))
    request = urllib.request.Request(url, headers=header)  # noqa: S310 - the kit's own URLs
    with urllib.request.urlopen(request, timeout=timeout, context=trusted) as answer:  # noqa: S310
        body: bytes = answer.read()
    return body
