#ifndef WIDGET_H
#define WIDGET_H
#include <string>

namespace ui {
class Widget {
  public:
    virtual ~Widget() = default;
    void show();
};
}  // namespace ui

#endif
