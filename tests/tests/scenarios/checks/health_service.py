"""grpc.health.v1 on gRPC's own library, without generated code: `shop` is unwell, nothing else but the whole is known.

    health_service.py PORT TLS_PORT CERTIFICATE KEY
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

SERVING, NOT_SERVING = 1, 2
STATUS = {b"": SERVING, b"shop": NOT_SERVING}


def check(request, context):
    # HealthCheckRequest: field 1, a text; HealthCheckResponse: field 1, a number.
    status = STATUS.get(request[2:])
    if status is None:
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service")
    return bytes([0x08, status])


class Health(grpc.GenericRpcHandler):
    def service(self, call):
        if call.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(check)
        return None


def read(path):
    with open(path, "rb") as file:
        return file.read()


port, tls_port, certificate, key = sys.argv[1:]
server = grpc.server(ThreadPoolExecutor(4), handlers=[Health()])
credentials = grpc.ssl_server_credentials([(read(key), read(certificate))])
if not server.add_insecure_port(f"0.0.0.0:{port}") or not server.add_secure_port(f"0.0.0.0:{tls_port}", credentials):
    sys.exit("a port is taken")
server.start()
server.wait_for_termination()
