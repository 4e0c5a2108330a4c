"""A server that knows nothing of onconn, but all that systemd offers: its listening
socket by sd_listen_fds(3), READY=1 by sd_notify(3), and on SIGTERM it finishes what
it has. NOT_READY=1 has it never say that it is ready."""
import os
import select
import signal
import socket
import sys
import time

time.sleep(float(os.environ.get("WARM_UP", "0")))
listener = socket.socket(fileno=3)
listener.setblocking(False)
wake, woken = socket.socketpair()
woken.setblocking(False)
signal.set_wakeup_fd(woken.fileno())
signal.signal(signal.SIGTERM, lambda *_: None)

notify = os.environ.get("NOTIFY_SOCKET")
if notify and not os.environ.get("NOT_READY"):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        s.connect(notify.replace("@", "\0", 1))
        s.sendall(b"READY=1\n")

while True:
    ready, _, _ = select.select([listener, wake], [], [])
    if wake in ready:
        sys.exit(0)
    try:
        conn, _ = listener.accept()
    except BlockingIOError:
        continue
    conn.setblocking(True)
    with conn:
        conn.sendall(b"%d\n" % os.getpid())
