#include <memory>
#include <vector>

#define SHAPES 4

namespace geo::detail {
constexpr double kPi = 3.14159;
}

namespace geo {

class Visitor;
using ShapePtr = std::unique_ptr<class Shape>;
template <typename T>
using List = std::vector<T>;
typedef struct Extent { double w, h; } Extent;

enum class Color : int { Red, Green = 2 };

class Shape : public virtual Base, private Other<int> {
public:
    Shape() = default;
    explicit Shape(std::string name, int sides = 3) : name_(std::move(name)), sides_(sides) {}
    virtual ~Shape();
    Shape(const Shape&) = delete;

    virtual double area() const = 0;
    bool operator==(const Shape& other) const;
    operator bool() const { return true; }
    static int count;

    struct Point {
        double x = 0;
        double y = 0;
    };

    template <typename V>
    void accept(V&& visitor) const noexcept {
        auto inner = [] { return 1; };
    }

private:
    friend class Visitor;
    std::string name_;
    int sides_;
    int (*hook_)(int);
};

template <typename T, typename = std::enable_if_t<std::is_arithmetic_v<T>>>
class Matrix final {
    T data_[16];
};

template <>
struct Traits<int> {
    using type = long;
};

template <typename T>
concept Numeric = std::is_arithmetic_v<T>;

template <Numeric T>
T clamp(T value, T low, T high)
{
    return value;
}

double Shape::area() const { return 0; }

Shape::~Shape() {}

bool Shape::operator==(const Shape& other) const {
    return name_ == other.name_;
}

namespace {
int hidden = 1;
void helper(int a, int b);
}  // namespace

}  // namespace geo

extern "C" {
int c_api(const char* name);
}

std::ostream& operator<<(std::ostream& out, const geo::Shape& shape) { return out; }

auto main(int argc, char** argv) -> int { return 0; }
