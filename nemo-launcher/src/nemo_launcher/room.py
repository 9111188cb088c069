"""The room that a plan's stages share, and the state in which a run begins."""

from .executors.local import machine_room
from .foundation.errors import UserError
from .journal import History
from .plan import Plan
from .state import Room, RunState, StageState
from .store import RunFolder


def initial_state(plan: Plan, folder: RunFolder, past: dict[str, History]) -> RunState:
    """The state in which a run of `plan` begins. UserError where a stage needs GPUs that are not there."""
    room = room_of(plan)
    stages = {}
    for stage in plan.stages:
        asked = Room(cpus=stage.cpus, memory_gib=stage.memory_gib, gpus=stage.gpus)
        if asked.gpus > room.gpus:
            raise UserError(
                f"stage {stage.name!r} asks for {asked.gpus} GPUs, {room.gpus} may be used here; "
                f"set {stage.name}.resources.gpus={room.gpus}, or run where there are more"
            )
        attempt = max(past.get(stage.name, History()).attempt, folder.last_attempt(stage.name))
        stages[stage.name] = StageState(
            needs=stage.needs, room=asked.at_most(room), retries=stage.retries, attempt=attempt
        )
    return RunState(stages=stages, room=room)


def room_of(plan: Plan) -> Room:
    """What stages may occupy together."""
    cpus, memory, gpus = machine_room()
    limit = plan.capacity
    return Room(
        cpus=limit.cpus or cpus, memory_gib=limit.memory_gib or memory, gpus=gpus if limit.gpus is None else limit.gpus
    )
