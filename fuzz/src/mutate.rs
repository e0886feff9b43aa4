//! Mutations, all from one generator of random numbers.

/// Longest input that is made.
pub const MAX_INPUT: usize = 64 * 1024;
/// Inputs that are kept to go on from.
const POOL: usize = 256;

/// SplitMix64: small, and the same everywhere.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// A generator that follows from `seed` alone.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: usize) -> usize {
        let end = end as u64;
        self.number()
            .checked_rem(end)
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(0)
    }

    fn octet(&mut self) -> u8 {
        self.number().to_le_bytes()[0]
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// A range within `length`, mostly short.
    fn range(&mut self, length: usize) -> (usize, usize) {
        let start = self.below(length + 1);
        let most = if self.below(4) == 0 { length } else { 16 };
        (start, (start + self.below(most + 1)).min(length))
    }
}

/// Makes inputs from seeds, from what it made before, and from words.
#[derive(Debug)]
pub struct Mutator<'a> {
    random: Random,
    seeds: &'a [Vec<u8>],
    words: &'a [&'static [u8]],
    pool: Vec<Vec<u8>>,
}

impl<'a> Mutator<'a> {
    /// Inputs that follow from these arguments alone.
    #[must_use]
    pub fn new(seed: u64, seeds: &'a [Vec<u8>], words: &'a [&'static [u8]]) -> Self {
        Self {
            random: Random::new(seed),
            seeds,
            words,
            pool: Vec::new(),
        }
    }

    /// The next input, at most [`MAX_INPUT`] octets.
    pub fn next_input(&mut self) -> Vec<u8> {
        let from_pool = self.random.below(2) == 0;
        let mut input = self.base(from_pool);
        for _ in 0..=self.random.below(6) {
            self.mutate(&mut input);
            input.truncate(MAX_INPUT);
        }
        self.remember(&input);
        input
    }

    fn base(&mut self, from_pool: bool) -> Vec<u8> {
        let source = if from_pool && !self.pool.is_empty() {
            &self.pool
        } else {
            self.seeds
        };
        self.random.pick(source).cloned().unwrap_or_default()
    }

    fn remember(&mut self, input: &[u8]) {
        if self.pool.len() < POOL {
            self.pool.push(input.to_vec());
        } else {
            let at = self.random.below(POOL);
            if let Some(slot) = self.pool.get_mut(at) {
                *slot = input.to_vec();
            }
        }
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        match self.random.below(12) {
            0 => self.flip(input),
            1 => self.set(input),
            2 => self.remove(input),
            3 => self.repeat(input),
            4..=6 => self.insert_word(input),
            7 => self.insert_octets(input),
            8 => self.splice(input),
            9 => self.swap_case(input),
            10 => self.edge(input),
            _ => self.move_range(input),
        }
    }

    fn flip(&mut self, input: &mut [u8]) {
        let (at, bit) = (self.random.below(input.len()), self.random.below(8));
        if let Some(octet) = input.get_mut(at) {
            *octet ^= 1 << bit;
        }
    }

    fn set(&mut self, input: &mut [u8]) {
        let special = b"\0\r\n\t \"'\\()<>[]{}@,;:.%&=+-*/\x7f\x80\xff";
        let octet = if self.random.below(2) == 0 {
            self.random.pick(special).copied().unwrap_or(0)
        } else {
            self.random.octet()
        };
        let at = self.random.below(input.len());
        if let Some(slot) = input.get_mut(at) {
            *slot = octet;
        }
    }

    fn remove(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.random.range(input.len());
        input.drain(start..end);
    }

    fn repeat(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.random.range(input.len());
        let most = if self.random.below(8) == 0 { 1000 } else { 4 };
        let times = 1 + self.random.below(most);
        let chunk = input.get(start..end).unwrap_or_default();
        let copies = chunk.repeat(times.min(MAX_INPUT / chunk.len().max(1)));
        input.splice(end..end, copies);
    }

    fn insert_word(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let word = self.random.pick(self.words).copied().unwrap_or(b"\r\n");
        input.splice(at..at, word.iter().copied());
    }

    fn insert_octets(&mut self, input: &mut Vec<u8>) {
        let at = self.random.below(input.len() + 1);
        let octets: Vec<u8> = (0..=self.random.below(8))
            .map(|_| self.random.octet())
            .collect();
        input.splice(at..at, octets);
    }

    /// The front of this and the end of another.
    fn splice(&mut self, input: &mut Vec<u8>) {
        let other = self.base(true);
        input.truncate(self.random.below(input.len() + 1));
        let from = self.random.below(other.len() + 1);
        input.extend_from_slice(other.get(from..).unwrap_or_default());
    }

    fn swap_case(&mut self, input: &mut [u8]) {
        let (start, end) = self.random.range(input.len());
        for octet in input.get_mut(start..end).unwrap_or_default() {
            if octet.is_ascii_alphabetic() {
                *octet ^= 0x20;
            }
        }
    }

    /// Replaces a run of digits by a number at an edge.
    fn edge(&mut self, input: &mut Vec<u8>) {
        let edges: [&[u8]; 8] = [
            b"0",
            b"-1",
            b"255",
            b"65536",
            b"4294967295",
            b"4294967296",
            b"18446744073709551615",
            b"99999999999999999999999",
        ];
        let from = self.random.below(input.len() + 1);
        let rest = input.get(from..).unwrap_or_default();
        let Some(start) = rest.iter().position(u8::is_ascii_digit).map(|at| from + at) else {
            return;
        };
        let length = input
            .get(start..)
            .unwrap_or_default()
            .iter()
            .take_while(|octet| octet.is_ascii_digit())
            .count();
        let edge = self.random.pick(&edges).copied().unwrap_or(b"0");
        input.splice(start..start + length, edge.iter().copied());
    }

    fn move_range(&mut self, input: &mut Vec<u8>) {
        let (start, end) = self.random.range(input.len());
        let moved: Vec<u8> = input.drain(start..end).collect();
        let at = self.random.below(input.len() + 1);
        input.splice(at..at, moved);
    }
}

#[cfg(test)]
mod tests {
    use super::{MAX_INPUT, Mutator};

    #[test]
    fn the_same_seed_makes_the_same_inputs_and_another_does_not() {
        let seeds = vec![b"hello 1 world".to_vec(), b"a b c".to_vec()];
        let make = |seed| {
            let mut mutator = Mutator::new(seed, &seeds, &[b"word"]);
            (0..200).map(|_| mutator.next_input()).collect::<Vec<_>>()
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
    }

    #[test]
    fn inputs_are_bounded_and_start_from_nothing_too() {
        let mut mutator = Mutator::new(7, &[], &[]);
        assert!((0..2000).all(|_| mutator.next_input().len() <= MAX_INPUT));
    }
}
