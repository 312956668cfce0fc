"""Where output goes: through links to other disks, onto full ones, and not through what others have planted.

The disks are tmpfs mounts in a mount namespace of this test's own, which is gone when it ends.
"""

import json
import os
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile

import support
from runs import Runs

options = support.arguments(__doc__)
SOMEBODY = 12345
# A model of 7 MB, with an optimizer of 15.
WIDE = ["model.hidden_size=256", "model.intermediate_size=688", "checkpoint.interval=0", "log.tensorboard=false"]


def enter_own_mounts():
    """Starts this script again where it may mount."""
    if os.environ.get("OWN_MOUNTS"):
        return
    unshare = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if shutil.which("unshare") is None or subprocess.run([*unshare, "true"], capture_output=True).returncode != 0:
        support.skip("no mount namespace can be made here")
    os.environ["OWN_MOUNTS"] = "1"
    os.execvp("unshare", [*unshare, sys.executable, *sys.argv])


def mount(folder, size):
    folder.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    return folder


def unmount(folder):
    subprocess.run(["umount", folder], check=True)


def every_writer_follows_a_link(runs):
    """The links lie on a disk of 64 KB: what is first copied beside one, or replaces it, does not fit."""
    small, big = mount(runs.folder / "small", "64k"), mount(runs.folder / "big", "200m")
    runs.check(*runs.train_arguments("model"))
    model = runs.folder / "model"
    commands = {
        "import": ["import", runs.checkpoint("model", 20), "--output"],
        "export": ["export", model, "--to", "hf", "--output"],
        "prepare": ["prepare", runs.text, "--tokenizer", runs.tokenizer, "--output"],
        "train": None,
    }
    for name, command in commands.items():
        target, link = big / name, small / name
        target.mkdir()
        link.symlink_to(target)
        runs.check(*(runs.train_arguments(link) if command is None else [*command, link]))
        assert link.is_symlink() and any(target.iterdir()), name
    assert (big / "train" / "checkpoints" / "step-00000020" / "model.safetensors").exists()
    assert (big / "export" / "config.json").exists()
    root = mount(runs.folder / "root", "20m")  # a disk's root can't be replaced by a renamed folder
    (small / "root").symlink_to(root)
    runs.check("export", model, "--to", "hf", "--output", small / "root")
    assert (root / "config.json").exists() and not list(root.glob(".new*")), list(root.iterdir())
    for name, command in (("a.model", ["tokenizer", "train", runs.text, "--vocab-size", "300", "--output"]),):
        (big / name).write_text("old")
        (small / name).symlink_to(big / name)
        runs.check(*command, small / name)
        assert (small / name).is_symlink() and (big / name).read_bytes() == runs.tokenizer.read_bytes()
    (big / "cache").mkdir()
    (small / "cache").symlink_to(big / "cache")
    runs.check(*runs.train_arguments("cached", f"data.cache_dir={small / 'cache'}"))
    assert list((big / "cache").glob("*.tokens")), "the cache is elsewhere"
    assert sorted(path.name for path in small.iterdir()) == sorted([*commands, "root", "a.model", "cache"])
    for disk in (small, root, big):
        unmount(disk)


def names_what_is_wrong_with_a_link(runs):
    for name, target, word in (("dangling", "nowhere", "doesn't exist"), ("loop", "loop", "leads back to itself"),
                               ("file", runs.text, "")):
        link = runs.folder / name
        link.symlink_to(target)
        for command in (runs.train_arguments(link), ["export", runs.folder / "model", "--to", "hf", "--output", link],
                        ["prepare", runs.text, "--tokenizer", runs.tokenizer, "--output", link],
                        runs.train_arguments("other", f"data.cache_dir={link}")):
            result = runs.run(*command)
            assert result.returncode in (2, 6) and word in result.stderr and name in result.stderr, (name, result)
            assert link.is_symlink() and not (runs.folder / "nowhere").exists(), name
        link.unlink()


def planned_bytes(runs, *keys):
    return json.loads(runs.check("plan", "smoke", *keys, "--json").stdout)["disk_bytes"]


def plan_knows_a_checkpoints_size(runs):
    for keys in (WIDE, [*WIDE, "train.precision=bf16"], [*WIDE, "model.tie_word_embeddings=true", "model.norm.placement=peri"]):
        plan = planned_bytes(runs, *keys)
        shutil.rmtree(runs.folder / "sized", ignore_errors=True)
        runs.check(*runs.train_arguments("sized", *keys))
        files = {path.name: path.stat().st_size for path in runs.checkpoint("sized", 20).iterdir()}
        optimizer = files.pop("optimizer.safetensors")
        assert abs(optimizer - plan["optimizer"]) < 20_000, (keys, optimizer, plan)
        model = files.pop("model.safetensors")
        assert abs(model - plan["model"]) < 20_000 and sum(files.values()) < plan["other"], (keys, files, plan)
        assert plan["checkpoint"] == plan["model"] + plan["optimizer"] + plan["other"]
        assert plan["most_at_once"] == 3 * plan["checkpoint"]


def keeps_the_model_on_a_small_disk(runs):
    plan = planned_bytes(runs, *WIDE)
    disk = mount(runs.folder / "disk", plan["model"] + plan["other"] + plan["optimizer"] // 2)
    out = disk / "out"
    result = runs.check(*runs.train_arguments(out, *WIDE))
    before, after = result.stderr.split("\nstep 1/", 1)
    assert "warning" in before and "only the model" in before and "train.out_dir" in before, result.stderr
    assert "holds the model alone" in after and "finished: step 20 of 20" in after, result.stderr
    runs.check(*runs.train_arguments("roomy", *WIDE))
    saved, whole = runs.checkpoint(out, 20), runs.checkpoint("roomy", 20)
    assert (saved / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not (saved / "optimizer.safetensors").exists()
    runs.check("generate", out, "--prompt", "the", "--max-new-tokens", 2)
    runs.check("eval", out, "--text", runs.text)
    runs.check("export", out, "--to", "hf", "--output", "exported")
    result = runs.check(*runs.train_arguments(out, *WIDE))
    assert "nothing is left to train" in result.stderr, result.stderr
    result = runs.run(*runs.train_arguments(out, *WIDE, "train.max_steps=30"))
    assert result.returncode == 4 and "without optimizer.safetensors" in result.stderr, result
    unmount(disk)


def an_older_checkpoint_makes_room_for_the_last(runs):
    """On a disk for two, the last one is whole, though three were to be there for a moment."""
    plan = planned_bytes(runs, *WIDE)
    disk = mount(runs.folder / "disk", int(2.5 * plan["checkpoint"]))
    result = runs.check(*runs.train_arguments(disk / "out", *WIDE, "checkpoint.interval=6"))
    before, after = result.stderr.split("\nstep 1/", 1)
    assert "warning" in before and "checkpoint.keep_last" in before, result.stderr
    assert "no checkpoint of step 18" in after, result.stderr  # and the run went on
    steps = sorted(path.name for path in (disk / "out" / "checkpoints").iterdir())
    assert steps == ["step-00000012", "step-00000020"], steps
    assert (runs.checkpoint(disk / "out", 20) / "optimizer.safetensors").exists()
    unmount(disk)


def refuses_a_disk_without_room_for_the_model(runs):
    disk = mount(runs.folder / "disk", "2m")
    result = runs.run(*runs.train_arguments(disk / "out", *WIDE))
    assert result.returncode == 6 and "the model alone takes" in result.stderr and "step 1/" not in result.stderr, result
    unmount(disk)
    for limit, code in ((2 << 20, 6), (planned_bytes(runs, *WIDE)["model"] + 20_000, 0)):
        result = runs.run(*runs.train_arguments(f"limit{code}", *WIDE),
                          preexec_fn=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        assert result.returncode == code and "ulimit -f" in result.stderr, result
    assert (runs.checkpoint("limit0", 20) / "model.safetensors").exists()


def an_interrupted_run_goes_on_from_the_checkpoint_before(runs):
    """One that holds the model alone is skipped by a resume, with the reason."""
    keys = [*WIDE, "checkpoint.interval=10"]
    runs.check(*runs.train_arguments("resumed", *keys), "--stop-after", 15)
    (runs.checkpoint("resumed", 15) / "optimizer.safetensors").unlink()
    manifest = runs.checkpoint("resumed", 15) / "manifest.json"
    assert manifest.exists()
    result = runs.check(*runs.train_arguments("resumed", *keys))
    assert "skipped" in result.stderr and "without optimizer.safetensors" in result.stderr, result.stderr
    assert "at step 10" in result.stderr, result.stderr
    runs.check(*runs.train_arguments("straight", *keys))
    assert runs.weights("resumed", 20) == runs.weights("straight", 20)


def injects():
    return shutil.which("strace") and subprocess.run(
        ["strace", "-o", "/dev/null", "-e", "inject=write:error=EIO:when=9999", "true"], capture_output=True).returncode == 0


def a_failed_removal_is_no_failed_checkpoint(runs):
    if not injects():
        print("strace is missing, or may not trace")
        return
    for call, when in (("unlinkat", "1"), ("unlinkat", "2")):
        shutil.rmtree(runs.folder / "removal", ignore_errors=True)
        command = [runs.train_llm, *runs.train_arguments("removal", "checkpoint.interval=5", "checkpoint.keep_last=1")]
        result = subprocess.run(["strace", "-f", "-o", "/dev/null", "-e", f"trace={call}", "-e",
                                 f"inject={call}:error=EIO:when={when}", *map(str, command)],
                                cwd=runs.folder, capture_output=True, text=True)
        assert result.returncode == 0 and "the checkpoint of step 10 is saved" in result.stderr, result
        assert "Input/output error" in result.stderr and "no checkpoint of" not in result.stderr, result.stderr
        left = [path.name for path in (runs.folder / "removal" / "checkpoints").iterdir()]
        assert left == ["step-00000020"], left


def cleans_what_kills_have_left(runs):
    runs.check(*runs.train_arguments("left"), "--stop-after", 5)
    out = runs.folder / "left"
    (runs.folder / "cache").mkdir(exist_ok=True)
    leftovers = [out / ".write-probe-77.tmp-77", out / ".write-probe.tmp-0123abcd", out / "config.yaml.tmp-0123abcd",
                 out / "metrics.jsonl.tmp-0123abcd", runs.folder / "cache" / f"{'0' * 64}.tokens.tmp-0123abcd"]
    for path in leftovers:
        path.write_text("half")
    for kind in ("tmp", "trash"):
        (out / "checkpoints" / f"step-00000003.{kind}-0123abcd").mkdir()
    runs.check(*runs.train_arguments("left"))
    assert not any(path.exists() for path in leftovers), [path for path in leftovers if path.exists()]
    assert not [path for path in out.rglob("*") if ".tmp-" in path.name or ".trash-" in path.name]


def leaves_alone_what_others_planted(runs):
    """In a folder that everyone may write, links of another user to files and folders of this one."""
    if os.environ.get("SUDO_UID") or os.geteuid() != 0 or pathlib.Path("/proc/self/uid_map").read_text().split()[2] == "1":
        print("planted links: only root can make another user's")
        return
    for name in ("metrics.jsonl", "config.yaml", "run.lock", ".write-probe", "checkpoints", "tb"):
        out, victim = runs.folder / "open" / name, runs.folder / "victims" / name
        out.mkdir(parents=True)
        victim.parent.mkdir(exist_ok=True)
        if name in ("checkpoints", "tb"):
            shutil.copytree(runs.folder / "model" / name, victim)
        else:
            victim.write_text("precious\n")
        (out / name).symlink_to(victim)
        os.lchown(out / name, SOMEBODY, SOMEBODY)
        out.chmod(0o777)
        before = sorted((path, path.stat().st_size) for path in victim.parent.rglob("*"))
        result = runs.run(*runs.train_arguments(out))
        assert result.returncode in (0, 6), (name, result)
        assert result.returncode == 0 or "link" in result.stderr, (name, result)
        assert sorted((path, path.stat().st_size) for path in victim.parent.rglob("*")) == before, name


enter_own_mounts()
with tempfile.TemporaryDirectory() as scratch:
    small_runs = Runs(options.train_llm, pathlib.Path(scratch))
    for check in (every_writer_follows_a_link, names_what_is_wrong_with_a_link, plan_knows_a_checkpoints_size,
                  keeps_the_model_on_a_small_disk, an_older_checkpoint_makes_room_for_the_last,
                  refuses_a_disk_without_room_for_the_model, an_interrupted_run_goes_on_from_the_checkpoint_before,
                  a_failed_removal_is_no_failed_checkpoint, cleans_what_kills_have_left, leaves_alone_what_others_planted):
        check(small_runs)
        print(check.__name__)
