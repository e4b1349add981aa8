from harness.backends import *
from harness.tls import *
from harness import hello
import time, subprocess
def test_x(pawl, serve):
    b = serve(echo)
    proxy = pawl(b)
    client = proxy.client(context=client_context(version=TLS13))
    record = client.hello()
    client.sock.sendall(hello.fragmented(record, 1))
    print(client.sock.recv(1000))
    print(client.sock.recv(1000))
    client.abandon()
    print(proxy.session_line("127", ).raw)
    assert 0
