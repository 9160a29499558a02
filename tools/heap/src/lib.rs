//! The tools' allocator: the standard library's (dlmalloc), but for where its first memory comes from.
//!
//! The standard library's asks for more memory at the first allocation. For the host that is a change of its
//! address space, and another before the next call, which take as long as a tenth of a small call and make
//! calls on other cores wait. Here the first memory is a part of the module that is there from the start; only
//! what does not fit is asked for.
//!
//! Nothing but WebAssembly uses it: elsewhere this crate is empty.
#![deny(unsafe_code)]

#[cfg(target_arch = "wasm32")]
#[expect(unsafe_code, reason = "an allocator hands out memory by pointers")]
mod wasm {
    use core::alloc::{GlobalAlloc, Layout};
    use core::cell::{Cell, UnsafeCell};

    use dlmalloc::{Allocator, Dlmalloc};

    /// Bytes of the memory that is there from the start.
    const FIRST: usize = 256 << 10;
    /// Bytes of a page of linear memory.
    const PAGE: usize = 64 << 10;

    #[global_allocator]
    static HEAP: Heap =
        Heap(UnsafeCell::new(Dlmalloc::new_with_allocator(Memory { taken: Cell::new(false) })));

    static ARENA: Arena = Arena(UnsafeCell::new([0; FIRST]));

    #[repr(C, align(4096))]
    struct Arena(UnsafeCell<[u8; FIRST]>);

    // SAFETY: a tool has one thread.
    unsafe impl Sync for Arena {}

    struct Heap(UnsafeCell<Dlmalloc<Memory>>);

    // SAFETY: a tool has one thread.
    unsafe impl Sync for Heap {}

    // SAFETY: every call is handed on to dlmalloc, which keeps the contract; none of them calls another, so that
    // the reference to it is the only one.
    unsafe impl GlobalAlloc for Heap {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            unsafe { (*self.0.get()).malloc(layout.size(), layout.align()) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            unsafe { (*self.0.get()).calloc(layout.size(), layout.align()) }
        }

        unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
            unsafe { (*self.0.get()).free(pointer, layout.size(), layout.align()) }
        }

        unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            unsafe { (*self.0.get()).realloc(pointer, layout.size(), layout.align(), size) }
        }
    }

    /// Where dlmalloc gets its memory.
    struct Memory {
        /// Whether the memory that is there from the start is taken.
        taken: Cell<bool>,
    }

    // SAFETY: what is handed out is the arena, once, and pages that were just made; nothing is ever taken back.
    // A fresh instance's memory is zero, and so is what it grows by.
    unsafe impl Allocator for Memory {
        fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
            if size <= FIRST && !self.taken.replace(true) {
                return (ARENA.0.get().cast(), FIRST, 0);
            }
            let pages = size.div_ceil(PAGE);
            match core::arch::wasm32::memory_grow::<0>(pages) {
                usize::MAX => (core::ptr::null_mut(), 0, 0),
                at => ((at * PAGE) as *mut u8, pages * PAGE, 0),
            }
        }

        fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
            core::ptr::null_mut()
        }

        fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
            false
        }

        fn free(&self, _: *mut u8, _: usize) -> bool {
            false
        }

        fn can_release_part(&self, _: u32) -> bool {
            false
        }

        fn allocates_zeros(&self) -> bool {
            true
        }

        fn page_size(&self) -> usize {
            PAGE
        }
    }
}
