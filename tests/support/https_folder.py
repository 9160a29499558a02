"""Serves a folder over HTTPS on the loopback, in the place of a package index, with a certificate of its own.

Usage: https_folder.py FOLDER PORT_FILE CERTIFICATE KEY
"""

import functools
import http.server
import ssl
import sys


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


folder, port_file, certificate, key = sys.argv[1:]
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
# The handshake is the connection's own: nobody who waits with it keeps others from being served.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(port_file, "w") as out:
    out.write(f"{server.server_address[1]}\n")
server.serve_forever()
