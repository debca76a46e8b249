"""Plans of replays: which recorded calls a replay may reuse, and what it changes."""

from kitaru.runtime.replay import ReplayPlan, build_replay_plan

__all__ = ["ReplayPlan", "build_replay_plan"]
