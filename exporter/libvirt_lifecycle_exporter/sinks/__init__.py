"""Where transitions go. Sinks import no source and no other sink."""
