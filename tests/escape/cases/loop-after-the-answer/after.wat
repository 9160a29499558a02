;; Loops where the host lets it free what it answered.
(component
    (core module $m
        (memory (export "memory") 1)
        (func (export "f") (result i32) i32.const 0)
        (func (export "after") (param i32) (loop $again (br $again))))
    (core instance $i (instantiate $m))
    (func (export "go") (result (tuple u32 u32))
        (canon lift (core func $i "f") (memory $i "memory") (post-return (func $i "after")))))
