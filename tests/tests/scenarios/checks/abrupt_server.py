"""A web server over TLS that ends its connections without TLS's closing alert: certificate, key and port are its arguments."""

import socket
import ssl
import sys

context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1], sys.argv[2])
listener = socket.create_server(("0.0.0.0", int(sys.argv[3])))
while True:
    near, _ = listener.accept()
    try:
        near.settimeout(2)
        secure = context.wrap_socket(near, server_side=True)
        secure.recv(4096)
        secure.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello\n")
        # Without unwrap() there is no alert; shutting down first keeps a reset from overtaking the answer.
        secure.shutdown(socket.SHUT_WR)
        secure.close()
    except OSError:
        near.close()
