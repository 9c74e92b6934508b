"""The memory of a whole container, as its cgroup counts it: what its processes and the kernel on their behalf hold, without the
page cache that may be dropped at any moment (memory.current minus inactive file pages, as `docker stats` shows)."""

import threading
import time

import pytest

#: Either version of cgroups, as the container sees its own.
COUNTER = """
if [ -e /sys/fs/cgroup/memory.current ]; then
  cat /sys/fs/cgroup/memory.current; sed -n 's/^inactive_file //p' /sys/fs/cgroup/memory.stat
else
  cat /sys/fs/cgroup/memory/memory.usage_in_bytes; sed -n 's/^total_inactive_file //p' /sys/fs/cgroup/memory/memory.stat
fi"""
MB = 1 << 20


def used(one):
    total, inactive = map(int, one.shell(COUNTER).stdout.split())
    return total - inactive


def test_an_idle_container(role, container, capsys):
    one = container(role).run("--memory", "512m", "--memory-swap", "512m", "--cpus", "2")
    one.wait_health()
    # Idle is what follows the first start: its checkpoint included.
    one.create(1)
    time.sleep(5)
    amount = used(one)
    with capsys.disabled():
        print(f"\n{role}: idle: {amount / MB:.0f} MB")
    assert amount < 128 * MB, one.describe()


CLIENTS = 15
INDEX = """
CREATE TABLE memory_items (id int PRIMARY KEY, embedding vector(384) NOT NULL);
INSERT INTO memory_items SELECT n, (SELECT array_agg(random()) FROM generate_series(1, 384) WHERE n > 0)::vector
  FROM generate_series(1, 20000) AS n;
CREATE INDEX ON memory_items USING hnsw (embedding vector_l2_ops);
ANALYZE memory_items;
"""


@pytest.mark.seconds(240)
def test_under_load_with_an_index_of_vectors(role, container, capsys):
    one = container(role).run("--memory", "512m", "--memory-swap", "512m", "--cpus", "2")
    one.wait_ready()
    begun = time.monotonic()
    one.psql(INDEX, timeout=200)
    built = time.monotonic() - begun
    over, counts, errors = threading.Event(), [0] * CLIENTS, []

    def client(number):
        while not over.is_set():
            if one.create(number * 100000 + counts[number]) is None:
                errors.append(number)
            counts[number] += 1

    # The index is searched all the while: its pages are in shared buffers.
    search = ("SELECT set_config('hnsw.ef_search', '100', false); "
              "SELECT count(*) FROM generate_series(1, 100) s, LATERAL (SELECT id FROM memory_items "
              "ORDER BY embedding <-> (SELECT embedding FROM memory_items m WHERE m.id = s * 7) LIMIT 10) AS near")
    plan = one.psql("EXPLAIN SELECT id FROM memory_items ORDER BY embedding <-> (SELECT embedding FROM memory_items WHERE id = 7) LIMIT 10")
    assert "hnsw" in plan or "memory_items_embedding_idx" in plan
    threads = [threading.Thread(target=client, args=(number,), daemon=True) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    amounts = []
    try:
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            assert one.psql(search, timeout=30).splitlines()[-1] == "1000"
            amounts.append(used(one))
    finally:
        over.set()
        for thread in threads:
            thread.join(20)
    with capsys.disabled():
        print(f"\n{role}: {CLIENTS} clients, 20000 x 384 HNSW (built in {built:.0f} s): at most {max(amounts) / MB:.0f} MB, "
              f"{sum(counts)} rows created")
    assert not errors, f"{len(errors)} of {sum(counts)} requests were not answered with 201"
    assert min(counts) > 0
    assert max(amounts) < 512 * MB
    state = one.inspect()["State"]
    assert state["Running"] and not state["OOMKilled"]
    assert all(program["restarts"] == 0 for program in one.programs().values())
