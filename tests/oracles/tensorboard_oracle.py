"""PyPI's tensorboard reads what our event writer wrote, also across a resume and a torn record."""

import math
import pathlib
import subprocess
import tempfile
import time

import support

EVENTS = "tensorboard.backend.event_processing."
EventAccumulator = support.require(EVENTS + "event_accumulator").EventAccumulator
EventFileLoader = support.require(EVENTS + "event_file_loader").EventFileLoader


def scalars(directory, tag, accumulator=None):
    accumulator = accumulator or EventAccumulator(str(directory)).Reload()
    return [(event.step, event.value) for event in accumulator.Scalars(tag)]


def main():
    tool = support.arguments(__doc__).tool
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name) / "tb"
        subprocess.run([tool, directory], check=True)
        first, second = sorted(directory.iterdir())

        # The first run alone, in its own directory.
        alone = pathlib.Path(name) / "alone"
        alone.mkdir()
        (alone / first.name).write_bytes(first.read_bytes())
        assert scalars(alone, "perf/tokens") == [(step, 100.0 * step) for step in range(1, 7)]
        for step, value in scalars(alone, "train/loss"):
            assert math.isclose(value, 10.0 / step, rel_tol=1e-7), (step, value)
        accumulator = EventAccumulator(str(alone)).Reload()
        assert set(accumulator.Tags()["scalars"]) == {"train/loss", "perf/tokens", "only/first"}
        assert abs(accumulator.Scalars("train/loss")[0].wall_time - time.time()) < 60

        # Both: steps beyond 3 of the first run are gone.
        tokens = scalars(directory, "perf/tokens")
        assert tokens == [(1, 100.0), (2, 200.0), (3, 300.0), (4, 7.0)], tokens
        loss = scalars(directory, "train/loss")
        assert [step for step, _ in loss] == [1, 2, 3, 4, 2**40], loss
        assert loss[3][1] == 0.5 and math.isnan(loss[4][1]), loss

        # A torn last record costs only itself.
        content = second.read_bytes()
        for cut in (1, 5, 20):
            second.write_bytes(content[:-cut])
            assert scalars(directory, "perf/tokens") == tokens, cut
            assert len(scalars(directory, "train/loss")) == 4, cut
        # The loader checks the checksums, so ours are right: it stops at a record with a flipped bit.
        second.write_bytes(content)
        assert len(list(EventFileLoader(str(second)).Load())) == 4
        for byte in (2, 9, 20, 40):  # length, its checksum, payload, its checksum
            second.write_bytes(content[:byte] + bytes([content[byte] ^ 4]) + content[byte + 1 :])
            assert not list(EventFileLoader(str(second)).Load()), byte


if __name__ == "__main__":
    main()
