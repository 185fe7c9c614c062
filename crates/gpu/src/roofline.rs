//! What a card can do at most, by its data sheet, and so the time that a piece of work takes at least.

/// A card.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Card {
    /// A part of the name that its driver gives.
    pub name: &'static str,
    /// Bytes from memory in a second.
    pub bytes_per_s: f64,
    /// Operations (multiplications and additions) in a second: dense f16 products with f32 sums.
    pub operations_per_s: f64,
}

/// Data sheets: NVIDIA's Ada whitepaper (4090), Jetson AGX Orin and Orin NX series data sheets, H100 and H200 data sheets. Those of
/// the Orin state sparse 8-bit operations; dense f16 is a quarter. The NX is the 16 GB module at 918 MHz: half of the AGX's tensor
/// cores at 0.7 of its clock. Its mode MAXN_SUPER (1173 MHz) has 19.2e12.
pub const CARDS: [Card; 5] = [
    Card { name: "RTX 4090", bytes_per_s: 1.008e12, operations_per_s: 165e12 },
    Card { name: "AGX Orin", bytes_per_s: 204.8e9, operations_per_s: 42e12 },
    Card { name: "Orin NX", bytes_per_s: 102.4e9, operations_per_s: 15e12 },
    Card { name: "H100", bytes_per_s: 3.35e12, operations_per_s: 989e12 },
    Card { name: "H200", bytes_per_s: 4.8e12, operations_per_s: 989e12 },
];

impl Card {
    /// The card of this name, as a driver gives it.
    pub fn of(name: &str) -> Option<Card> {
        CARDS.into_iter().find(|card| name.contains(card.name))
    }

    /// The shortest time for moving `bytes` and computing `multiply_adds`, ms: the slower of the two.
    pub fn bound_ms(&self, bytes: usize, multiply_adds: usize) -> f64 {
        let moving = bytes as f64 / self.bytes_per_s;
        let computing = 2.0 * multiply_adds as f64 / self.operations_per_s;
        1e3 * moving.max(computing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_the_slower_of_moving_and_computing() {
        let card = Card::of("NVIDIA GeForce RTX 4090").unwrap();
        assert!((card.bound_ms(1_008_000_000, 1) - 1.0).abs() < 1e-9);
        assert!((card.bound_ms(1, 82_500_000_000) - 1.0).abs() < 1e-9);
        assert_eq!(Card::of("NVIDIA GeForce GTX 1080"), None);
    }

    #[test]
    fn an_orin_nx_computes_as_its_tensor_cores_and_clock_say() {
        let [agx, nx] = ["AGX Orin", "Orin NX"].map(|name| Card::of(name).unwrap().operations_per_s);
        assert!((nx / agx - 32.0 / 64.0 * 918.0 / 1300.0).abs() < 0.01);
    }
}
