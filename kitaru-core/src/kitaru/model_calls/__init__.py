"""``kitaru.llm()``: calls of language models that are recorded, priced, retried and never paid for twice.

``calls`` is what users call; ``asking`` what they may ask; ``selection`` which model and whose credentials;
``conversation`` the exchange with a provider, step by step; ``litellm_client`` the only module that knows LiteLLM;
``recording`` what is kept of it; ``spending`` what budgets are charged with.
"""

from __future__ import annotations

from kitaru.model_calls.calls import llm
from kitaru.model_calls.replies import ModelReply, ToolCall

__all__ = ["ModelReply", "ToolCall", "llm"]
