#!/usr/bin/env python3
"""Subscribes to Nemuri's events with Python's standard library alone: NATS is a text protocol.

    python3 subscribe.py [SUBJECT]     default nemuri.>; NATS_URL names the server (nats://host:port, no TLS)

For TLS, users and reconnecting take the NATS project's client instead: pip install nats-py.
"""

import json
import os
import socket
import sys
from urllib.parse import urlsplit

url = urlsplit(os.environ.get("NATS_URL", "nats://127.0.0.1:4222"))
subject = sys.argv[1] if len(sys.argv) > 1 else "nemuri.>"

stream = socket.create_connection((url.hostname, url.port or 4222)).makefile("rwb", buffering=0)
stream.readline()  # INFO {...}
stream.write(b'CONNECT {"verbose":false,"headers":true,"no_responders":false}\r\n')
stream.write(f"SUB {subject} 1\r\n".encode())


def read_exactly(size):
    data = b""
    while len(data) < size:
        part = stream.read(size - len(data))
        if not part:
            sys.exit("the connection was closed")
        data += part
    return data


while line := stream.readline():
    words = line.split()
    if words[0] == b"PING":
        stream.write(b"PONG\r\n")
    elif words[0] == b"-ERR":
        sys.exit(line.decode())
    elif words[0] == b"MSG":
        read_exactly(int(words[-1]) + 2)  # without headers: no event
    elif words[0] == b"HMSG":  # HMSG <subject> <sid> [reply] <size of headers> <size of all>
        header_size, size = int(words[-2]), int(words[-1])
        message = read_exactly(size + 2)
        lines = message[:header_size].decode().split("\r\n")[1:]
        headers = dict(header.split(":", 1) for header in lines if ":" in header)
        headers = {name.lower(): value.strip() for name, value in headers.items()}
        if "ce-type" in headers:
            data = json.loads(message[header_size:size])
            print(headers["ce-time"], headers["ce-type"], json.dumps(data), flush=True)
