# SPDX-License-Identifier: MIT
"""
tls_driver.py OPENSSL FOLDER: a TLS client (`OPENSSL s_client`) that somebody types into, and its server; for every line "N"
the client sends N messages.
"""
import os, subprocess, sys, time

openssl, folder = sys.argv[1:]
key, crt, sock = (os.path.join(folder, n) for n in ("key", "crt", "sock"))
quiet = dict(stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
subprocess.run([openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt, "-subj", "/CN=localhost"],
               check=True, stdin=subprocess.DEVNULL, **quiet)
server = subprocess.Popen([openssl, "s_server", "-quiet", "-unix", sock, "-key", key, "-cert", crt],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
while not os.path.exists(sock):
    time.sleep(0.02)
client = subprocess.Popen([openssl, "s_client", "-quiet", "-unix", sock], stdin=subprocess.PIPE, **quiet)


def say(text):
    client.stdin.write(text)
    client.stdin.flush()
    if server.stdout.readline() != text:
        sys.exit("the server does not hear it")


say(b"hello\n")
print("ready", client.pid, flush=True)
for line in sys.stdin:
    for i in range(int(line)):
        say(b"secret %d" % i + b"\n")
    print("done", flush=True)
client.kill()
server.kill()
