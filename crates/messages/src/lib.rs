//! The nouns that pass between actors, and the versioned form that leaves the machine.
