;; Loops where the host asks it for room, which is in the middle of the host's own work.
(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32)
            (loop $again (br $again))
            i32.const 0)
        (func (export "f") (param i32 i32) (result i32) i32.const 7))
    (core instance $i (instantiate $m))
    (func (export "go") (param "path" string) (result u32)
        (canon lift (core func $i "f") (memory $i "memory") (realloc (func $i "realloc")))))
