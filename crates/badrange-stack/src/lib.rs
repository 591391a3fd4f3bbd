//! Engine of badrange: device registry, ranged failure dispatch, exact remainder and per-pfn fallback.
