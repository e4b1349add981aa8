from harness.backends import *
from harness.programs import *
import time, subprocess
def test_x(pawl, serve):
    b = serve(http)
    proxy = pawl(b)
    h,p = split_address(proxy.listen[0])
    t = subprocess.Popen(["/tmp/tools/tls_client",h,str(p),"--groups","X25519MLKEM768","--request","GET / HTTP/1.1\r\nHost: a\r\n\r\n"])
    time.sleep(1)
    w=proxy.role("worker 0")
    t.kill(); t.wait()
    time.sleep(1)
    print(proxy.log.text())
    subprocess.run("ss -tnpo | grep -E '%s|%s'; timeout 1 strace -p %d; cat /proc/%d/stat"%(p,b.address[-5:],w,w),shell=True)
    assert 0
