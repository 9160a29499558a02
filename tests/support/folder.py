"""Serves a folder on the loopback, in the place of a package registry: over HTTPS where a certificate is given.

Usage: folder.py FOLDER PORT_FILE [CERTIFICATE KEY]
"""

import functools
import http.server
import ssl
import sys


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


folder, port_file, *secured = sys.argv[1:]
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
if secured:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*secured)
    # The handshake is the connection's own: nobody who waits with it keeps others from being served.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
with open(port_file, "w") as out:
    out.write(f"{server.server_address[1]}\n")
server.serve_forever()
