"""Password guesses from many addresses, while the owner of the name works."""

from __future__ import annotations

import json
import subprocess
import time

from tests.abuse.found import Attack

# Runs on the host, standard library only: guesses from addresses in 127.0.0.0/8, each connection from another one,
# until its standard input is closed; prints the number of answers by status.
GUESS = """
import asyncio, base64, collections, json, random, ssl, sys
wanted = json.loads(sys.stdin.readline())
rng, kinds = random.Random(wanted["seed"]), collections.Counter()
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
async def guess(address):
    while True:
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", wanted["port"], ssl=context, local_addr=(address, 0), ssl_handshake_timeout=60)
            for _ in range(20):
                name = rng.choice(wanted["names"]) if rng.random() < 0.9 else f"n{rng.randrange(10**9)}"
                login = base64.b64encode(f"{name}:{rng.randrange(10**12)}".encode()).decode()
                writer.write(f"GET {wanted['path']}/version HTTP/1.1\\r\\nHost: {wanted['host']}\\r\\n"
                             f"Authorization: Basic {login}\\r\\n\\r\\n".encode())
                head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().lower()
                length = [line.split(":")[1] for line in head.splitlines() if line.startswith("content-length")]
                await reader.readexactly(int((length or ["0"])[0]))
                kinds[head.split()[1]] += 1
            writer.close()
        except (OSError, asyncio.IncompleteReadError):
            kinds["none"] += 1
            await asyncio.sleep(0.2)
async def main():
    addresses = [f"127.{rng.randrange(1, 255)}.{rng.randrange(256)}.{rng.randrange(1, 255)}"
                 for _ in range(wanted["addresses"])]
    tasks = [asyncio.create_task(guess(address)) for address in addresses for _ in range(wanted["each"])]
    await asyncio.to_thread(sys.stdin.readline)
    for task in tasks:
        task.cancel()
asyncio.run(main())
print(json.dumps(kinds))
"""
ADDRESSES, EACH = 40, 8
# A new login need not wait like the guesses.
FRESH_SECONDS = 10


def many_addresses(attack: Attack) -> None:
    """The honest client has the owner's cached login; this tries tokens that were not used before, and other names."""
    target, found, rng = attack.target, attack.found, attack.rng
    owner = target.logins["editor"][0]
    wanted = {
        "seed": rng.getrandbits(32),
        "port": target.address[1],
        "host": target.netloc,
        "path": target.path,
        "names": [owner],
        "addresses": ADDRESSES,
        "each": EACH,
    }
    _, made, _ = target.control(f"token create {attack.word()} --owner {owner} --role editor --expires 1d")
    process = subprocess.Popen(
        ["docker", "exec", "--interactive", target.container, "nice", "-n", "10", "python3", "-B", "-c", GUESS],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    print(json.dumps(wanted), file=process.stdin, flush=True)
    try:
        time.sleep(2)
        with target.session() as http:
            header = {"Authorization": f"Bearer {(made or {}).get('token', '')}"}
            while attack.has_time():
                url = target.url + "/version"
                found.ask(
                    "a token that was not used before", {"200"}, http, "GET", url, headers=header, timeout=FRESH_SECONDS
                )
                for role in ("admin", "viewer", "editor"):
                    login = target.logins[role]
                    found.ask(f"the {role}'s login", {"200"}, http, "GET", url, auth=login, timeout=FRESH_SECONDS)
                time.sleep(0.5)
    finally:
        message, _ = process.communicate("enough\n", timeout=60)
        if made:
            target.control(f"token revoke {made['name']}")
    for status, count in json.loads(message or "{}").items():
        found.answers[f"guess {status}"] += count
        if status not in ("401", "429", "503", "none"):
            found.fault(f"a guess was answered with {status}")
