(component
    (import "gloaming:tool/workspace@0.1.0" (instance $files (export "walk" (type (sub resource)))))
    (alias export $files "walk" (type $handle))
    (core func $drop (canon resource.drop $handle))
    (core module $m
        (import "host" "drop" (func $drop (param i32)))
        (func (export "f") (result i32) (call $drop (i32.const 3)) i32.const 7))
    (core instance $i (instantiate $m (with "host" (instance (export "drop" (func $drop))))))
    (func (export "go") (result u32) (canon lift (core func $i "f"))))
