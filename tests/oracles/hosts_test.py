"""Two hosts train the same model as one process, find each other, and neither outlives the link between them.

The hosts are two network namespaces of this machine with a cable between them; that needs root. They are gone when the
processes that hold them are, also when this test is killed.
"""

import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time

import support
from ranks import LONG, Ranks, assert_lost, close
from runs import Runs

options = support.arguments(__doc__)
TIMEOUT = 4
KEYS = ["train.threads=1", f"parallel.timeout_seconds={TIMEOUT}", "train.micro_batch_size=1"]
ADDRESSES = ["10.83.0.1", "10.83.0.2"]
# As Debian writes it: a host's own name is a loopback address there, and the network's elsewhere.
NAMES = ["127.0.0.1 localhost\n127.0.1.1 first\n", f"127.0.0.1 localhost\n{ADDRESSES[0]} first\n"]


class Hosts:
    """Two hosts, named in each other's /etc/hosts, on one cable."""

    def __init__(self, folder):
        self.holders = []
        for number, names in enumerate(NAMES):
            (folder / f"hosts{number}").write_text(names)
            # It ends with this test: then its input does.
            holder = subprocess.Popen(["unshare", "--net", "--mount", "sh", "-c", "echo && exec cat"], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            self.holders.append(holder)
            if not holder.stdout.readline():
                support.skip(f"no network namespace can be made: {holder.stderr.read().strip()}")
        self.run(0, "ip", "link", "add", "cable", "type", "veth", "peer", "name", "cable", "netns", self.holders[1].pid)
        for host, address in enumerate(ADDRESSES):
            self.run(host, "mount", "--bind", folder / f"hosts{host}", "/etc/hosts")
            self.run(host, "ip", "address", "add", f"{address}/24", "dev", "cable")
            self.set_link(host, "lo", "up")
            self.set_link(host, "cable", "up")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for holder in self.holders:
            holder.kill()
            holder.communicate()

    def on(self, host, *command):
        return ["nsenter", "--target", self.holders[host].pid, "--net", "--mount", *command]

    def run(self, host, *command):
        subprocess.run(list(map(str, self.on(host, *command))), check=True)

    def set_link(self, host, link, state):
        self.run(host, "ip", "link", "set", link, state)


def train(runs, hosts, out, *keys, **variables):
    """A rank on each host."""
    command = ["env", f"--chdir={runs.folder}", "LOCAL_RANK=0", runs.train_llm, *runs.train_arguments(out, *KEYS, *keys)]
    return Ranks(runs, [hosts.on(host, *command) for host in (0, 1)], **variables)


def trains_the_same_model(runs, hosts):
    runs.check(*runs.train_arguments("one", *KEYS))
    for out, variables in (("by_address", {"address": ADDRESSES[0]}),
                           ("by_name", {"address": "first", "GLOO_SOCKET_IFNAME": "cable"})):
        with train(runs, hosts, out, **variables) as ranks:
            for code, message in ranks.ends([0, 1]):
                assert code == 0, (out, code, message)
        close(runs, "one", out)


def says_how_a_name_becomes_reachable(runs, hosts):
    with train(runs, hosts, "loopback", address="first") as ranks:
        (code, message), (other, waited) = ranks.ends([0, 1], within=TIMEOUT + 6)
        assert code == 2 and all(word in message for word in ("first is 127.0.1.1", "GLOO_SOCKET_IFNAME")), (code, message)
        assert other == 7 and "rank 0 never joined" in waited, (other, waited)
    with train(runs, hosts, "interface", address="first", GLOO_SOCKET_IFNAME="wire") as ranks:
        [(code, message)] = ranks.ends([0])
        assert code == 2 and "GLOO_SOCKET_IFNAME is 'wire'" in message, (code, message)


def ends_without_the_link(runs, hosts):
    for host in (0, 1):
        with train(runs, hosts, f"cut{host}", *LONG, address=ADDRESSES[0]) as ranks:
            ranks.wait_for("step 10/")
            time.sleep(1)  # for signs of life from the training
            hosts.set_link(host, "cable", "down")
            first, second = ranks.ends([0, 1], within=TIMEOUT + 3)
            assert_lost([first], 1)
            assert_lost([second], 0)
            assert all(re.search(r"seen at step [1-9]\d*, phase training", message) for _, message in (first, second))
        hosts.set_link(host, "cable", "up")


missing = [program for program in ("ip", "unshare", "nsenter", "mount") if shutil.which(program) is None]
if missing:
    support.skip(f"{', '.join(missing)} is not here; scripts/setup.sh installs it")
if os.geteuid() != 0:
    support.skip("network namespaces need root")
with tempfile.TemporaryDirectory() as scratch:
    small = Runs(options.train_llm, pathlib.Path(scratch))
    with Hosts(small.folder) as pair:
        for check in (trains_the_same_model, says_how_a_name_becomes_reachable, ends_without_the_link):
            began = time.monotonic()
            check(small, pair)
            print(f"{check.__name__}: {time.monotonic() - began:.1f} s")
