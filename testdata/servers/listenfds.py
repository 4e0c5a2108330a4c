"""A server that knows nothing of onconn: it takes its listening socket from
systemd's protocol, sd_listen_fds(3), and says which process answered."""
import os
import signal
import socket
import sys

if os.environ.get("LISTEN_PID") != str(os.getpid()):
    sys.exit("LISTEN_PID is not this process: start it with onconn -m shared -l ADDRESS")

listener = socket.socket(fileno=3)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
while True:
    conn, _ = listener.accept()
    with conn:
        conn.recv(4096)
        body = "hello from %d\n" % os.getpid()
        conn.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s"
                     % (len(body), body.encode()))
