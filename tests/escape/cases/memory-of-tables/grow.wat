;; Answers what growing a table by half a billion elements came to: -1, refused.
(component
    (core module $m
        (table $t 1 funcref)
        (func (export "f") (result i32) (table.grow $t (ref.null func) (i32.const 500000000))))
    (core instance $i (instantiate $m))
    (func (export "go") (result u32) (canon lift (core func $i "f"))))
