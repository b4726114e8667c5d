"""What bench/run is made of.

world.py      paths, machine line, server, backlog, slots
procs.py      children, their CPU time and memory
clients.py    pgfan and pg_recvlogical, run over a slot
drain.py      P1, P2, P7: a backlog to files
kafka.py      P3: a backlog to Kafka
recovery.py   P10: kill -9 and start again
latency.py    P5: commit to pipe
memory.py     P6, P9: resident memory, idle CPU
report.py     ratios, verdicts, table, JSON, docs, plot
"""
