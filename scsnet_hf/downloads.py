"""Pictures from the web, within limits of time and size."""

import http.client
import re
import time
import urllib.request

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)  # RFC 3986, Sec. 3.1
_FETCHED = ("http://", "https://")
_SILENCE = 20  # seconds without a byte
_SECONDS = 120  # in all
_BYTES = 256 * 2**20
_CHUNK = 2**16


def is_url(source: str) -> bool:
    """Whether `source` names something on the web, of any kind, and not a file."""
    return _SCHEME.match(source) is not None


def download(url: str) -> bytes:
    """The content of an http or https URL, also where it redirects to another.

    Raises:
        OSError: if it is another kind of URL, cannot be fetched, is larger than 256 MiB, or takes
            longer than two minutes. The message does not name the URL.
    """
    if not url.lower().startswith(_FETCHED):
        raise OSError("only http and https URLs are fetched")
    try:
        with _opener().open(url, timeout=_SILENCE) as response:
            return _read(response)
    except (ValueError, http.client.HTTPException) as error:
        raise OSError(f"could not be fetched ({error})") from None


def _opener() -> urllib.request.OpenerDirector:
    """One that knows http and https only: no redirect leads to a file or another protocol."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPRedirectHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


def _read(response: http.client.HTTPResponse) -> bytes:
    end = time.monotonic() + _SECONDS
    content = bytearray()
    while chunk := response.read1(_CHUNK):
        content += chunk
        if len(content) > _BYTES:
            raise OSError(f"is larger than {_BYTES // 2**20} MiB")
        if time.monotonic() > end:
            raise OSError(f"took longer than {_SECONDS} seconds")
    return bytes(content)
