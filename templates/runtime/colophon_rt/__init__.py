"""Runtime of generated flows: the same files in every artifact."""

import warnings

# Bodies of loops say that they are not kept, and LangGraph warns that this changes nothing.
warnings.filterwarnings("ignore", message="`durability` has no effect")
