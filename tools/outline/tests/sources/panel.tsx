import React, { useState } from "react";

interface Props<T> {
  items: T[];
  render: (item: T) => React.ReactNode;
}

export function Panel<T>({ items, render }: Props<T>): JSX.Element {
  const [open, setOpen] = useState(false);
  const toggle = () => setOpen(!open);
  return (
    <section onClick={toggle}>
      {items.map((item) => (
        <div key={String(item)}>{render(item)}</div>
      ))}
    </section>
  );
}

export const Title: React.FC<{ text: string }> = ({ text }) => <h1>{text}</h1>;

export const Memo = React.memo(function Inner() {
  return <Title text="x" />;
});

class Boundary extends React.Component<Props<string>, { failed: boolean }> {
  state = { failed: false };

  componentDidCatch(error: Error) {
    this.setState({ failed: true });
  }

  render() {
    return this.state.failed ? null : <>{this.props.items}</>;
  }
}

export default Boundary;
