;; Its answer lies beyond its memory.
(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "f") (result i32) i32.const 0x7ffffff0))
    (core instance $i (instantiate $m))
    (func (export "go") (result string) (canon lift (core func $i "f") (memory $i "memory"))))
