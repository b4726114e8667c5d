/*
 * ack.pml - a model of the rule that decides which LSN is confirmed to PostgreSQL.
 *
 * One slot, N commits, P targets. The world commits, sends, loses connections and crashes on both
 * sides; the engine receives, delivers and confirms. Checked: when a stream starts, each commit
 * that the slot will never send again is durable (or spilled) for every target; a confirmed
 * position is never past what was sent; and in the end everything is durable everywhere.
 *
 * RULE picks what is confirmed: 0 is the product's rule; the others are tempting mistakes that
 * the checker must catch:
 *   1  the position of a keepalive as soon as one target has nothing on its way; another may have
 *   2  what was received instead of what is durable
 *   3  a failing target is taken out of the minimum, and what it misses is not kept
 */
#ifndef RULE
#define RULE 0
#endif
#define N 4 /* commits in the whole history */
#define P 2 /* targets */
#define RING 2 /* commits that may be on their way to one target */

byte wal = 0;        /* commits in the write-ahead log */
byte confirmed = 0;  /* the slot in memory: commits up to here are never sent again */
byte checkpoint = 0; /* the slot on the server's disk: where a server crash brings it back to */
byte received = 0;   /* what this connection has sent */
byte head[P];        /* given to the ring of a target */
byte tail[P];        /* taken out of it again: delivered in this session */
byte durable[P];     /* delivered and durable, over all sessions */
byte spilled = 0;    /* target 1 only: kept on the engine's disk after it failed */
bool connected = false;
bool failed = false; /* target 1 failed */
byte crashes = 0;

#define SETTLED0 durable[0]
#define SETTLED1 (durable[1] > spilled -> durable[1] : spilled)
#define SETTLED (SETTLED0 < SETTLED1 -> SETTLED0 : SETTLED1)

inline deliver(target)
{
    tail[target]++;
    if
    :: tail[target] > durable[target] -> durable[target] = tail[target]
    :: else
    fi
}

inline start_stream()
{
    connected = true;
    received = confirmed;
    head[0] = confirmed; tail[0] = confirmed;
    head[1] = confirmed; tail[1] = confirmed;
    /* What lies below the confirmed position is gone for good: it must be settled. */
    assert(SETTLED0 >= confirmed);
    assert(SETTLED1 >= confirmed)
}

inline receive()
{
    received++;
    head[0] = received;
    head[1] = received;
    if
    :: failed -> tail[1] = received;
        if
        :: RULE != 3 -> spilled = received
        :: else
        fi
    :: else
    fi
}

inline fail_target()
{
    failed = true;
    if
    :: RULE != 3 && head[1] > spilled -> spilled = head[1]
    :: else
    fi;
    tail[1] = head[1]
}

inline confirm()
{
    byte position;
    if
    :: RULE == 1 -> position = (head[0] == tail[0] -> received : SETTLED)
    :: RULE == 2 -> position = received
    :: RULE == 3 -> position = (failed -> SETTLED0 : SETTLED)
    :: else -> position = SETTLED
    fi;
    if
    :: position > received -> position = received
    :: else
    fi;
    if
    :: position > confirmed -> confirmed = position
    :: else
    fi;
    position = 0
}

active proctype world()
{
end:
    do
    :: wal < N -> wal++
    :: !connected -> atomic { start_stream() }
    :: connected && received < wal && head[0] - tail[0] < RING && (failed || head[1] - tail[1] < RING) ->
        atomic { receive() }
    :: connected && tail[0] < head[0] -> atomic { deliver(0) }
    :: connected && !failed && tail[1] < head[1] -> atomic { deliver(1) }
    :: connected && !failed -> atomic { fail_target() }
    :: connected -> atomic { confirm() }
    :: confirmed > checkpoint -> checkpoint = confirmed
    :: crashes < 3 -> atomic { crashes++; connected = false } /* kill -9 of the engine */
    :: crashes < 3 -> atomic { crashes++; connected = false; confirmed = checkpoint } /* of the server */
    :: wal == N && SETTLED == N && confirmed == N -> break
    od;
    assert(SETTLED0 == N && SETTLED1 == N)
}
