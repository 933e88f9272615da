#!/usr/bin/env python3
"""Serves any range of an image that is never written: range_server.py FOLDER [PORT]"""

import argparse
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ext4writer import Ext4WriterError, open_image, sources
from ext4writer.virtual import VirtualImage


class Ranges(BaseHTTPRequestHandler):
    image: VirtualImage

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "bytes=0-")
        asked = re.fullmatch(r"bytes=([0-9]{1,15})-([0-9]{0,15})", wanted)
        first, last = (int(asked[1]), int(asked[2] or self.image.size - 1)) if asked else (0, -1)
        last = min(last, self.image.size - 1)
        self.send_response(206 if first <= last else 416)
        self.send_header("Content-Range", f"bytes {first}-{last}/{self.image.size}")
        self.send_header("Content-Length", str(max(0, last - first + 1)))
        self.end_headers()
        for offset in range(first, last + 1, 1 << 20):
            self.wfile.write(self.image.pread(offset, min(1 << 20, last + 1 - offset)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("port", type=int, nargs="?", default=8000)
    arguments = parser.parse_args()
    try:
        Ranges.image = open_image(sources.directory(arguments.folder))
        with ThreadingHTTPServer(("127.0.0.1", arguments.port), Ranges) as server:
            print(f"http://127.0.0.1:{server.server_port}", flush=True)
            server.serve_forever()
    except (Ext4WriterError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
