//! Earth, camera, tile and filter mathematics: typed units and datums. Pure.
