#!/usr/bin/env python3
"""A web service that streams images: web_service.py FOLDER [PORT]

GET /NAME.img sends an image of FOLDER with NAME in its /etc/hostname. Nothing is written to disk.
An image needs only the memory for its tree and for one piece.
"""

from __future__ import annotations

import argparse
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ext4writer import Ext4WriterError, Spec, Tree, iter_layout, plan, sources


def make_tree(base: Tree, name: str) -> Tree:
    tree = base.copy()
    if "/etc/hostname" in tree:
        tree.remove("/etc/hostname")
    tree.file("/etc/hostname", f"{name}\n".encode(), parents=True)
    return tree


class Images(BaseHTTPRequestHandler):
    base: Tree
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        asked = re.fullmatch(r"/([a-z0-9-]{1,16})\.img", self.path)
        if asked is None:
            self.send_error(404)
            return
        try:
            layout = plan(make_tree(self.base, asked[1]), Spec(label=asked[1]))
        except Ext4WriterError as error:
            self.send_error(500, str(error))
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(layout.size_bytes))
        self.send_header("ETag", f'"{layout.uuid}"')
        self.end_headers()
        for piece in iter_layout(layout):
            self.wfile.write(piece)


def main(folder: str, port: int) -> None:
    Images.base = sources.directory(folder)
    with ThreadingHTTPServer(("127.0.0.1", port), Images) as server:
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder")
    parser.add_argument("port", type=int, nargs="?", default=8000)
    arguments = parser.parse_args()
    try:
        main(arguments.folder, arguments.port)
    except (Ext4WriterError, OSError) as error:
        parser.exit(1, f"{parser.prog}: {error}\n")
