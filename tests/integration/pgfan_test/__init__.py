"""pgfan_test - what the integration tests stand on: real servers, the real binary, a verifier.

server.py     a throw-away PostgreSQL of any supported major
engine.py     the engine as a process, its control socket and its logs
records.py    what a file target holds, read as a follower would
sampler.py    confirmed_flush_lsn first, then the records: the promise, sampled
workload.py   a seeded workload that writes its own oracle in the same transactions
verify.py     what must hold between oracle, table and records
conf.py       conf files from Python dictionaries
proxy.py      the client of tests/tools/fproxy, a faulty network
wait.py       waiting on a condition with a deadline
"""
