//! Sixteen bytes at once.

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
pub(crate) use vector::Lanes;

#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
pub(crate) use plain::Lanes;

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod vector {
    use core::arch::wasm32::{
        u8x16_eq, u8x16_shr, u8x16_splat, u8x16_swizzle, u64x2, u64x2_extract_lane, v128, v128_and,
        v128_any_true, v128_load, v128_or,
    };

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes(v128);

    impl Lanes {
        pub(crate) fn of(bytes: [u8; 16]) -> Self {
            let whole = u128::from_le_bytes(bytes);
            Self(u64x2(whole as u64, (whole >> 64) as u64))
        }

        /// Loads sixteen bytes.
        #[expect(unsafe_code, reason = "a vector is loaded by a pointer only")]
        pub(crate) fn load(bytes: &[u8; 16]) -> Self {
            // SAFETY: the reference is to sixteen bytes that can be read; `v128_load` demands no alignment.
            Self(unsafe { v128_load(bytes.as_ptr().cast()) })
        }

        /// Returns for each byte what two tables have in common by its lower and its upper half.
        pub(crate) fn lookup(self, low: Self, high: Self) -> Self {
            let lower = u8x16_swizzle(low.0, v128_and(self.0, u8x16_splat(15)));
            let upper = u8x16_swizzle(high.0, u8x16_shr(self.0, 4));
            Self(v128_and(lower, upper))
        }

        pub(crate) fn and(self, other: Self) -> Self {
            Self(v128_and(self.0, other.0))
        }

        pub(crate) fn or(self, other: Self) -> Self {
            Self(v128_or(self.0, other.0))
        }

        /// Returns ones for each byte that is the same in both, else zeros.
        pub(crate) fn equal(self, other: Self) -> Self {
            Self(u8x16_eq(self.0, other.0))
        }

        /// Whether any byte is not zero.
        pub(crate) fn any(self) -> bool {
            v128_any_true(self.0)
        }

        pub(crate) fn bytes(self) -> [u8; 16] {
            let (first, second) = (u64x2_extract_lane::<0>(self.0), u64x2_extract_lane::<1>(self.0));
            (u128::from(first) | (u128::from(second) << 64)).to_le_bytes()
        }
    }
}

/// The same without vectors, for the tests and for a target that has none.
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod plain {
    use std::array::from_fn;

    #[derive(Clone, Copy)]
    pub(crate) struct Lanes([u8; 16]);

    impl Lanes {
        pub(crate) fn of(bytes: [u8; 16]) -> Self {
            Self(bytes)
        }

        pub(crate) fn load(bytes: &[u8; 16]) -> Self {
            Self(*bytes)
        }

        pub(crate) fn lookup(self, low: Self, high: Self) -> Self {
            Self(from_fn(|lane| {
                let byte = usize::from(self.0[lane]);
                low.0[byte & 15] & high.0[byte >> 4]
            }))
        }

        pub(crate) fn and(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane] & other.0[lane]))
        }

        pub(crate) fn or(self, other: Self) -> Self {
            Self(from_fn(|lane| self.0[lane] | other.0[lane]))
        }

        pub(crate) fn equal(self, other: Self) -> Self {
            Self(from_fn(|lane| if self.0[lane] == other.0[lane] { 0xff } else { 0 }))
        }

        pub(crate) fn any(self) -> bool {
            self.0 != [0; 16]
        }

        pub(crate) fn bytes(self) -> [u8; 16] {
            self.0
        }
    }
}
