(component
    (core module $m
        (table 100000000 funcref)
        (func (export "f") (result i32) i32.const 7))
    (core instance $i (instantiate $m))
    (func (export "go") (result u32) (canon lift (core func $i "f"))))
