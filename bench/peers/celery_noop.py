"""The peer Celery: a task that does nothing, on Redis, its result ignored, with a queue name of its own.

Usage: python3 celery_noop.py <tasks>   adds tasks and prints {"added": n}
       python3 -m celery -A celery_noop worker ...   works them off
Needs REDIS_URL and BENCH_QUEUE. Not set, because it is the default: messages are acknowledged before a task runs.
"""

import os
import sys

from celery import Celery

queue = os.environ["BENCH_QUEUE"]
app = Celery("noop", broker=os.environ["REDIS_URL"])
app.conf.update(
    task_default_queue=queue,
    broker_transport_options={
        "unacked_key": f"{queue}:unacked",
        "unacked_index_key": f"{queue}:unacked_index",
        "unacked_mutex_key": f"{queue}:unacked_mutex",
    },
    task_ignore_result=True,
    task_store_errors_even_if_ignored=False,
    worker_prefetch_multiplier=int(os.environ.get("BENCH_PREFETCH", "4")),
    worker_send_task_events=False,
    worker_hijack_root_logger=False,
)


@app.task
def noop(number):
    return None


if __name__ == "__main__":
    count = int(sys.argv[1])
    with app.producer_or_acquire() as producer:
        for number in range(count):
            noop.apply_async((number,), producer=producer)
    print('{"added": %d}' % count, flush=True)
