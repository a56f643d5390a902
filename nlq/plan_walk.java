import org.apache.spark.sql.catalyst.expressions.Expression;
import org.apache.spark.sql.catalyst.expressions.PlanExpression;
import org.apache.spark.sql.catalyst.plans.QueryPlan;
import org.apache.spark.sql.catalyst.plans.logical.View;
import scala.collection.Iterator;

/**
 * Lists the classes of a logical plan in one call, since a walk from Python costs a round trip a node.
 * Does not look below a registered view: what a view is made of is the pipeline's affair.
 * Compiled when the engine starts, by the compiler that Spark itself brings for its generated code.
 */
public class PlanWalk {
  public String classes(QueryPlan plan) {
    StringBuilder found = new StringBuilder();
    plan(plan, found);
    return found.toString();
  }

  private void plan(QueryPlan plan, StringBuilder found) {
    found.append(plan.getClass().getName()).append('\n');
    if (plan instanceof View) {
      found.append("view ").append(((View) plan).desc().identifier().table()).append('\n');
      return;
    }
    for (Iterator i = plan.children().iterator(); i.hasNext();) {
      plan((QueryPlan) i.next(), found);
    }
    for (Iterator i = plan.expressions().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }

  private void expression(Expression expression, StringBuilder found) {
    found.append(expression.getClass().getName()).append('\n');
    if (expression instanceof PlanExpression) {
      plan((QueryPlan) ((PlanExpression) expression).plan(), found);
    }
    for (Iterator i = expression.children().iterator(); i.hasNext();) {
      expression((Expression) i.next(), found);
    }
  }
}
