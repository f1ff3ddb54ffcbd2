"""What readers were told, against what was written and against the list: nothing missed, nothing twice."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from loadtests.streams.reader import Event
from loadtests.streams.writers import Write

Tasks = dict[str, dict[str, Any]]


@dataclass
class Verdict:
    """Times in seconds, from before the write was sent until its event was at a reader."""

    delivery: list[float] = field(default_factory=list)
    events: int = 0
    missed: int = 0
    """Writes of which a reader has heard nothing, and nothing later of that task either."""

    twice: int = 0
    """Events that are not later than the one before."""

    different: int = 0
    """Readers whose copy is not the list."""

    def judge(self, events: Iterable[Event], writes: list[Write], listed: Tasks) -> None:
        """One reader: all that it was told, all that was written for its user, and the user's tasks in the end."""
        copy: Tasks = {}
        told: dict[str, list[Event]] = defaultdict(list)
        last = ""
        for event in events:
            self.events += 1
            self.twice += event.clock <= last
            last = max(last, event.clock)
            told[event.task_id].append(event)
            if event.task is None:
                copy.pop(event.task_id, None)
            else:
                copy[event.task_id] = event.task
        self.different += copy != listed
        for write in writes:
            self._deliver(write, told[write.task_id])

    def _deliver(self, write: Write, told: list[Event]) -> None:
        """Several changes of a task in quick succession may come as one, which is the last."""
        arrived = next((event.at for event in told if _tells(event, write)), None)
        if arrived is None:
            self.missed += 1
        else:
            self.delivery.append(arrived - write.sent_at)


def _tells(event: Event, write: Write) -> bool:
    return event.task is None if write.clock is None else event.clock >= write.clock
