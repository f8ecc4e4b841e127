"""Where the image of a row goes in a folder."""

import hashlib
import re
from pathlib import PurePosixPath

_UNSAFE = re.compile(r'[\x00-\x1f\x7f%\\:*?"<>|]')
_LONGEST_NAME, _LONGEST_PATH = 200, 1000  # bytes, well below what file systems take


def image_path(key: str) -> PurePosixPath:
    """The path of an image, relative to the folder of results: its key and `.png`.

    It never leads out of the folder, whatever the key, and two keys never share one. What is not
    safe in a file name is written as % and its code, as in a URL: `../a:b` becomes
    `%2E./a%3Ab.png`. So are hidden names (a leading dot) and folders that end in .png. A key that
    is too long for a file system becomes a hash.
    """
    *folders, name = map(_quoted, key.split("/"))
    folders = [re.sub(r"\.png$", "%2Epng", folder) for folder in folders]
    path = PurePosixPath(*folders, f"{name}.png")
    longest = max(len(part.encode()) for part in path.parts)
    if longest > _LONGEST_NAME or len(str(path).encode()) > _LONGEST_PATH:
        return PurePosixPath(f"%-{hashlib.sha256(key.encode()).hexdigest()}.png")
    return path


def _quoted(name: str) -> str:
    quoted = _UNSAFE.sub(lambda match: f"%{ord(match[0]):02X}", name)
    if quoted.startswith("."):
        return f"%2E{quoted[1:]}"
    return quoted or "%"
